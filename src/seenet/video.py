"""The sound of a video or AAC file, which libsndfile does not read, through FFmpeg's libraries (PyAV)."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def read_sound(path: Path, start: float, seconds: float) -> tuple[NDArray[np.float32], int, float]:
    """A stretch of the first sound track.

    Args:
        path: any file that FFmpeg reads.
        start: where the stretch begins, in seconds.
        seconds: how much to read at most.

    Returns:
        The samples, full scale at 1, shape (frames, channels); the rate in Hz; and the seconds of the whole track.

    Raises:
        ModuleNotFoundError: PyAV is not installed.
        ValueError: no sound track, or one that cannot be decoded.
    """
    import av  # an extra: `pip install 'seenet[video]'`

    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise ValueError("a video without a sound track")
            track = container.streams.audio[0]
            rate = track.rate
            resampler = av.AudioResampler(format="fltp", rate=rate)
            whole = math.nan if container.duration is None else container.duration / av.time_base
            if start > 1:  # a little before: what is sought is a key frame near by
                container.seek(round((start - 1) * av.time_base))
            pieces, frames, first, wanted = [], 0, 0, math.inf
            for frame in container.decode(track):
                if not pieces:
                    first = max(0, round((start - (frame.time or 0.0)) * rate))
                    wanted = first + round(seconds * rate)
                for piece in resampler.resample(frame):
                    pieces.append(piece.to_ndarray())
                    frames += piece.samples
                if frames >= wanted:
                    break
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f"cannot be decoded ({error.strerror or error})") from error
    if not pieces:
        raise ValueError("empty: no samples")
    return np.concatenate(pieces, axis=1).T[first : int(wanted)], rate, whole
