"""Against strangers' numbers: the 5,138 networks of Accel-NASBench (DAC 2024).

The archive comes from the repository afzalxo/Accel-NASBench; here it lies beside the checkout.
"""

import json
import tarfile
from pathlib import Path

import pytest

from search_space import cost, load_space, thop_macs

ARCHIVE = (
    Path(__file__).parent.parent.parent / "shared" / "data" / "accel-nasbench" / "anb_dataset_jsons.tar.gz"
)


@pytest.mark.skipif(not ARCHIVE.is_file(), reason="Accel-NASBench's archive is not beside the checkout")
def test_every_network_has_the_parameters_and_macs_its_file_states() -> None:
    space = load_space("accel-nasbench")
    checked, keys = 0, set()
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            if not member.name.endswith(".json"):
                continue
            content = archive.extractfile(member)
            assert content is not None
            facts = json.load(content)
            given = facts["architecture"]
            choices = []
            for number in range(7):
                choices += [
                    f"mbconv{given[f'block{number}_e']}",
                    given[f"block{number}_k"],
                    0.25 if given[f"block{number}_se"] else 0.0,
                    given[f"block{number}_l"],
                ]
            indices = [d.choices.index(c) for d, c in zip(space.decisions, choices, strict=True)]
            network = space.decode(indices)
            assert round(cost(network).params / 1e6, 6) == facts["model_info"]["params"]
            assert round(thop_macs(network) / 1e6, 6) == facts["model_info"]["macs"]
            checked += 1
            keys.add(network.key)
    assert (checked, len(keys)) == (5138, 5125)
