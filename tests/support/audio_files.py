"""Audio and video files with a different tone in each second, in every supported format."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import soundfile

SECONDS = 6
TONES_HZ = [300, 500, 700, 900, 1100, 1300]
"""The tone of each second, which identifies an excerpt."""


def tones(rate: int) -> np.ndarray:
    time = np.arange(SECONDS * rate) / rate
    return (0.3 * np.sin(2 * np.pi * np.repeat(TONES_HZ, rate) * time)).astype(np.float32)


def strongest_hertz(wave: np.ndarray) -> float:
    """Return the frequency of the strongest component of a 16 kHz waveform."""
    return float(np.argmax(np.abs(np.fft.rfft(wave * np.hanning(len(wave))))) * 16000 / len(wave))


class Pipe:
    """A file without seeking: the sizes in its header stay placeholders.

    Args:
        path: the file.
    """

    def __init__(self, path: Path):
        self.write = path.open("wb", buffering=0).write


def encode(
    path: Path, container: str, codec: str, rate: int, options: dict[str, str] | None = None, piped: bool = False
) -> Path:
    """Write the tones with FFmpeg's libraries."""
    with av.open(Pipe(path) if piped else str(path), "w", format=container, options=options or {}) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = 12200 if codec == "libopencore_amrnb" else 96000
        frame = av.AudioFrame.from_ndarray(tones(rate)[None], format="fltp", layout="mono")
        frame.rate, frame.pts = rate, 0
        stream.codec_context.open()
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(stream.codec_context.format.name, "mono", rate, frame_size=size)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    return path


def with_libsndfile(**options: object) -> Callable[[Path], Path]:
    """Return a function that writes the tones with libsndfile."""

    def write(path: Path) -> Path:
        rate = int(options.get("rate", 16000))
        file_options = {name: value for name, value in options.items() if name != "rate"}
        soundfile.write(path, tones(rate), rate, **file_options)
        return path

    return write


def with_ffmpeg(container: str, codec: str, rate: int = 44100, **options: str) -> Callable[[Path], Path]:
    """Return a function that writes the tones with FFmpeg's libraries."""
    return lambda path: encode(path, container, codec, rate, options)


FRAGMENTS = {"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"}
SELF_DELIMITING: dict[str, Callable[[Path], Path]] = {
    "m4a": with_ffmpeg("ipod", "aac"),
    "m4a 16 kHz": with_ffmpeg("ipod", "aac", 16000),
    "alac": with_ffmpeg("ipod", "alac"),
    "mp4, index in front": with_ffmpeg("mp4", "aac", movflags="faststart"),
    "mp4 in fragments": with_ffmpeg("mp4", "aac", **FRAGMENTS),
    "mov": with_ffmpeg("mov", "pcm_s16le"),
    "3gp": with_ffmpeg("3gp", "libopencore_amrnb", 8000),
    "wma": with_ffmpeg("asf", "wmav2"),
    "avi": with_ffmpeg("avi", "pcm_s16le"),
    "avi of mp3": with_ffmpeg("avi", "libmp3lame"),
    "flv": with_ffmpeg("flv", "aac"),
    "flv of mp3": with_ffmpeg("flv", "libmp3lame"),
    "mkv": with_ffmpeg("matroska", "aac"),
    "mkv of flac": with_ffmpeg("matroska", "flac"),
    "webm": with_ffmpeg("webm", "libopus", 48000),
    "webm of a stream": with_ffmpeg("webm", "libopus", 48000, live="1"),
    "opus": with_ffmpeg("ogg", "libopus", 48000),
    "flac in ogg": with_ffmpeg("oga", "flac"),
    "vorbis": with_libsndfile(format="OGG", subtype="VORBIS"),
    "opus of libsndfile": with_libsndfile(format="OGG", subtype="OPUS", rate=48000),
    "mp3": with_ffmpeg("mp3", "libmp3lame"),
    "mp3 16 kHz": with_ffmpeg("mp3", "libmp3lame", 16000),
    "mp3 of libsndfile": with_libsndfile(format="MP3", rate=44100),
    "mp3 without a header": with_ffmpeg("mp3", "libmp3lame", write_xing="0"),
    "mp3 in wav": with_ffmpeg("wav", "libmp3lame"),
    "mp2": with_ffmpeg("mp2", "mp2"),
    "flac": with_libsndfile(format="FLAC"),
    "wavpack": with_ffmpeg("wv", "wavpack"),
    "tta": with_ffmpeg("tta", "tta"),
    "wav": with_libsndfile(format="WAV"),
    "wav of floats": with_libsndfile(format="WAV", subtype="DOUBLE"),
    "wav extensible": with_libsndfile(format="WAVEX", subtype="PCM_24"),
    "wav A-law": with_libsndfile(format="WAV", subtype="ALAW", rate=8000),
    "wav µ-law": with_libsndfile(format="WAV", subtype="ULAW", rate=8000),
    "wav IMA ADPCM": with_libsndfile(format="WAV", subtype="IMA_ADPCM"),
    "wav MS ADPCM": with_libsndfile(format="WAV", subtype="MS_ADPCM", rate=8000),
    "wav GSM": with_libsndfile(format="WAV", subtype="GSM610", rate=8000),
    "rf64": with_libsndfile(format="RF64"),
    "w64": with_libsndfile(format="W64"),
    "aiff": with_libsndfile(format="AIFF"),
    "caf": with_libsndfile(format="CAF"),
    "caf of alac": with_libsndfile(format="CAF", subtype="ALAC_16"),
    "au": with_libsndfile(format="AU"),
    "sphere": with_libsndfile(format="NIST"),
}
"""Files that show where they end."""

OPEN_ENDED: dict[str, Callable[[Path], Path]] = {
    "adts": with_ffmpeg("adts", "aac"),
    "amr": with_ffmpeg("amr", "libopencore_amrnb", 8000),
    "ac3": with_ffmpeg("ac3", "ac3", 48000),
    "mpeg-ts": with_ffmpeg("mpegts", "mp2"),
    "mpeg-ts of aac": with_ffmpeg("mpegts", "aac", 48000),
    "mpeg-ps": with_ffmpeg("mpeg", "mp2"),
}
"""Files that cannot show whether they are truncated."""

ALL_KINDS = SELF_DELIMITING | OPEN_ENDED

ID3V2_TAG = b"ID3\4\0\0" + bytes([0, 0, 2, 16]) + bytes(272)
ID3V1_TAG = b"TAG" + b"x" * 125


def write_film(path: Path, container: str, video: str, audio: str, rate: int = 44100, lost: range = range(0)) -> Path:
    """Write a video of twice the length of its audio track, without the audio packets in `lost`."""
    with av.open(str(path), "w", format=container) as output:
        pictures = output.add_stream(video, rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        sound = output.add_stream(audio, rate=rate, layout="mono")
        wave = av.AudioFrame.from_ndarray(tones(rate)[None], format="fltp", layout="mono")
        wave.rate, wave.pts, sound.bit_rate = rate, 0, 96000
        sound.codec_context.open()
        size = sound.frame_size or 1024
        resampler = av.AudioResampler(sound.codec_context.format.name, "mono", rate, frame_size=size)
        pieces = (*resampler.resample(wave), *resampler.resample(None))
        packets = [packet for piece in pieces for packet in sound.encode(piece)]
        packets = [packet for number, packet in enumerate(packets) if number not in lost] + sound.encode(None)
        for number in range(2 * SECONDS * 25):
            picture = av.VideoFrame(32, 32, "yuv420p")
            picture.pts = number
            packets += pictures.encode(picture)
        packets += pictures.encode(None)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            output.mux(packet)
    return path
