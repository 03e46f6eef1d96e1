"""Location of weights: folders, the cache of the hub, the hub, and their fingerprints."""

import hashlib
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import urllib.parse
from pathlib import Path

import pytest
import torch
import transformers

from seenet.core.errors import SeenetError
from seenet.models.backbones.pretrained_weights import Weights, resolve_weights
from seenet.models.backbones.transformers_backbone import SpeechBackbone
from support.backbones import LFS_POINTER, SMALL_ARCHITECTURE, load_backbone, save_checkpoint


@pytest.fixture
def hub(tmp_path: Path):
    """Serve a small WavLM locally like huggingface.co; yield address and commit."""
    commit = "89abcdef0123456789abcdef0123456789abcdef"
    transformers.WavLMModel(transformers.WavLMConfig(**SMALL_ARCHITECTURE)).save_pretrained(tmp_path / "served")

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_GET(self) -> None:
            path = urllib.parse.urlparse(self.path).path
            if path.startswith("/api/models/lab/wavlm"):
                self.answer(json.dumps({"id": "lab/wavlm", "sha": commit, "siblings": []}).encode())
            elif path.startswith("/lab/wavlm/resolve/") and (tmp_path / "served" / Path(path).name).is_file():
                body = (tmp_path / "served" / Path(path).name).read_bytes()
                self.answer(body, X_Repo_Commit=commit, ETag=f'"{hashlib.sha256(body).hexdigest()}"')
            else:
                known = "lab/wavlm" in path
                self.answer(b"", 200 if path == "/" else 404, X_Error_Code="EntryNotFound" if known else "RepoNotFound")

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", commit
    server.shutdown()


def test_resolve_weights_downloads_once_and_then_uses_the_cache(hub, tmp_path: Path):
    """A separate process is needed, because huggingface_hub reads the address at import."""
    address, commit = hub
    code = (
        "from seenet.models.backbones.pretrained_weights import resolve_weights\n"
        "from seenet.models.backbones.transformers_backbone import SpeechBackbone\n"
        "from seenet.core.errors import SeenetError\n"
        "first = resolve_weights('wavlm', 'lab/wavlm')\n"
        "print(first.cached, first.fingerprint, SpeechBackbone('wavlm', first).dim)\n"
        "second = resolve_weights('wavlm', 'lab/wavlm', revision=first.revision)\n"
        "print(second.cached, second.fingerprint, SpeechBackbone('wavlm', second).dim)\n"
        "try:\n    resolve_weights('wavlm', 'lab/none')\nexcept SeenetError as error:\n    print(error)\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    lines = run.stdout.splitlines()
    assert lines[:2] == [f"False {commit} 32", f"True {commit} 32"], run.stdout + run.stderr
    assert "lab/none" in lines[2]
    assert "backbone.path=FOLDER" in lines[2]


def test_resolve_weights_uses_the_cache_without_a_network(
    make_backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The cache has the layout of huggingface_hub, and every connection fails."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--microsoft--wavlm-base"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    transformers.WavLMModel(transformers.WavLMConfig(**SMALL_ARCHITECTURE)).save_pretrained(
        repository / "snapshots" / commit
    )

    def refused(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(tmp_path))
    weights = resolve_weights("wavlm", "microsoft/wavlm-base")
    assert weights == Weights("microsoft/wavlm-base", cached=True, fingerprint=commit)
    assert make_backbone("wavlm_base", weights=weights).dim == 32


def test_resolve_weights_raises_when_the_folder_is_unusable(tmp_path: Path):
    with pytest.raises(SeenetError, match="save_pretrained"):
        resolve_weights("wavlm", path=str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "hubert"}))
    with pytest.raises(SeenetError, match="contains a hubert model, not wavlm"):
        resolve_weights("wavlm", path=str(tmp_path))
    with pytest.raises(SeenetError, match="no weights"):
        resolve_weights("hubert", path=str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(SeenetError, match="cannot be loaded"):
        SpeechBackbone("hubert", resolve_weights("hubert", path=str(tmp_path)))


def test_resolve_weights_explains_conversion_when_weights_are_of_another_library(tmp_path: Path):
    save_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "tf_model.h5")
    with pytest.raises(SeenetError, match=r"contains no weights; .* convert tf_model\.h5 with"):
        resolve_weights("wavlm", path=str(tmp_path))


def test_resolve_weights_raises_for_a_checkpoint_of_a_run(tmp_path: Path):
    torch.save({"state_dict": {}}, tmp_path / "best.ckpt")
    with pytest.raises(SeenetError, match=r"is a file; .* best\.ckpt of seenet"):
        resolve_weights("wavlm", path=str(tmp_path / "best.ckpt"))


def test_resolve_weights_ignores_files_that_are_not_loaded(tmp_path: Path):
    save_checkpoint(tmp_path)
    before = resolve_weights("wavlm", path=str(tmp_path))
    described = before.describe()
    (tmp_path / "pytorch_model.bin").write_bytes(LFS_POINTER)
    (tmp_path / "training_args.bin").write_bytes(b"")
    assert resolve_weights("wavlm", path=str(tmp_path)) == before
    assert before.describe() == described
    assert load_backbone("wavlm", tmp_path).loaded_tensors


def test_weights_describe_names_the_checkpoint_and_its_hash(tmp_path: Path):
    save_checkpoint(tmp_path)
    described = resolve_weights("wavlm", path=str(tmp_path)).describe()
    digest = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert described == {"checkpoint": str(tmp_path), "revision": None, "hash": digest[:32]}
    assert set(resolve_weights("wavlm").describe().values()) == {None}


def test_resolve_weights_raises_when_a_shard_is_missing(tmp_path: Path):
    saved = save_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    saved.save_pretrained(tmp_path, max_shard_size="20KB")
    load_backbone("wavlm", tmp_path)
    next(iter(sorted(tmp_path.glob("model-*.safetensors")))).unlink()
    with pytest.raises(SeenetError, match="model-00001-of"):
        load_backbone("wavlm", tmp_path)


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"weight_map": {"a": 1}}', LFS_POINTER.decode()])
def test_resolve_weights_raises_when_the_index_is_damaged(content: str, tmp_path: Path):
    saved = save_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    saved.save_pretrained(tmp_path, max_shard_size="20KB")
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(SeenetError, match=r"model\.safetensors\.index\.json is (damaged|a Git LFS pointer)"):
        load_backbone("wavlm", tmp_path)
