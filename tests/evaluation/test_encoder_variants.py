from imagescreen.embedding.encoder import load_encoder
from imagescreen.evaluation.encoder_variants import AS_IS, compare, plain_model
from imagescreen.settings import BUILT_IN_MODEL, Device, DType
from tests.conftest import ROOT


def test_ways_to_run_the_encoder_are_compared_and_agree() -> None:
    weights = ROOT / "weights"
    encoder = load_encoder(BUILT_IN_MODEL, weights, dtype=DType.FLOAT32, device=Device.CPU, threads=1)
    model = plain_model(weights / BUILT_IN_MODEL, encoder.dtype)
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in compare(encoder, model, ["plain"], [2], 1)]
    assert [row[:2] for row in rows] == [[AS_IS, "2"], ["plain", "2"]]
    assert all(float(row[4]) > 0.9999 for row in rows)
    assert rows[0][3] == "1.00"
