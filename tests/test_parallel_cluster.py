"""One training on a cluster of which a node is lost; for ``make stress``, since it takes a minute."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.small_training import RECIPE, SEED, data, network
from trainers.full import Saving
from trainers.parallel import train_in_parallel

ROOT = Path(__file__).parent.parent
EPOCHS = 60


def train(address: str, folder: str) -> None:
    """Train on a cluster, and print each epoch."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    recipe = replace(RECIPE, epochs=EPOCHS, batch=16)
    saving = Saving(folder=Path(folder))
    epochs = train_in_parallel(
        network(), recipe, data(), SEED, workers=2, cpus=1, gpus=0, saving=saving, address=address
    )
    for measurement in epochs:
        print("epoch", int(measurement.metrics["epoch"]), flush=True)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("STRESS_FAULTS"), reason="takes a minute: make stress")
def test_a_training_goes_on_when_another_node_takes_a_lost_one_s_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 2**28}
    made = Cluster(initialize_head=True, head_node_args=head)
    out = tmp_path / "out"
    with out.open("w") as written:
        second = made.add_node(num_cpus=1, object_store_memory=2**28)
        words = ["-m", "tests.test_parallel_cluster", made.address, str(tmp_path / "kept")]
        process = subprocess.Popen([sys.executable, *words], stdout=written, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + 120
        while "epoch 4\n" not in out.read_text():
            assert time.monotonic() < until
            assert process.poll() is None, out.read_text()
            time.sleep(0.05)
        made.remove_node(second, allow_graceful=False)
        made.add_node(num_cpus=1, object_store_memory=2**28)
        code = process.wait(timeout=200)
    finally:
        process.kill()
        process.wait()
        made.shutdown()
    said = out.read_text()  # among what Ray says of a node that is lost
    assert code == 0, said
    assert "all workers start again (1 of 3 times)" in said
    epochs = [line for line in said.splitlines() if line.startswith("epoch ")]
    assert epochs == [f"epoch {number}" for number in range(1, EPOCHS + 1)]


if __name__ == "__main__":
    train(*sys.argv[1:])
