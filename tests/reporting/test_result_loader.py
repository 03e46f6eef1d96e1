"""Loading of results: truncated, damaged and incomplete files."""

import json
from pathlib import Path

import pytest

from seenet.reporting.html_report import write_report
from seenet.reporting.result_loader import load_results
from support.fabricated_results import fabricate_results, write_sweep_records


def test_load_results_skips_truncated_job_record(tmp_path: Path):
    results = fabricate_results(tmp_path / "outputs", augs=("none",), folds=(0,))
    records = write_sweep_records(tmp_path / "sweep", {"aug=none": (results, None), "aug=x": ([], "lower optim.lr")})
    path = records / "0/arm.json"
    path.write_text(path.read_text()[:40])
    found = load_results([tmp_path / "outputs", records])
    assert len(found.results) == 1
    assert found.failed == [("aug=x", "lower optim.lr")]
    (remark,) = found.remarks
    assert "0/arm.json" in remark


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("predictions.csv", b"utt", "lacks the column"),
        ("predictions.csv", None, "rows, the test had"),
        ("predictions.csv", b"\xff\xfe\x00", "damaged"),
        ("embeddings.npy", b"xx", "damaged"),
        ("../curves.csv", b"", "damaged"),
    ],
)
def test_report_names_and_omits_damaged_files(tmp_path: Path, capsys, name: str, content, why: str):
    """Content None removes the last lines, which pandas does not detect."""
    fabricate_results(tmp_path / "outputs", augs=("none", "ebm"), folds=(0,), sounds=0)
    result = next((tmp_path / "outputs").glob("*none*/fold0/clean/result.json"))
    path = result.parent / name
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-3]) if content is None else content)
    page = write_report([tmp_path / "outputs"], tmp_path / "report", audio=False)
    assert "aug=none" in page.read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    assert why in printed
    assert path.name in printed


def test_load_results_omits_result_without_required_fields(tmp_path: Path):
    fabricate_results(tmp_path / "outputs", augs=("none", "ebm"), folds=(0,), sounds=0)
    result = next((tmp_path / "outputs").glob("*none*/fold0/clean/result.json"))
    result.write_text(json.dumps({"schema": json.loads(result.read_text())["schema"]}))
    found = load_results([tmp_path / "outputs"])
    assert len(found.results) == 1
    assert any("from another program" in remark for remark in found.remarks)
