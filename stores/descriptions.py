"""What is to be known of a store's banks, from its live units alone."""

import json
from typing import Any

from reelbank.stores.bank import bank_metadata
from reelbank.stores.live import LiveSet
from reelbank.stores.stages import bank_stage


def bank_descriptions(live: LiveSet) -> dict[str, dict[str, Any]]:
    """For each live bank: the metadata of its newest part, how much there is, whether all agree."""
    found = {}
    for bank in live.banks():
        items = live.select(stage=bank_stage(bank))
        newest = max(items, key=lambda item: item.order)
        variants = {json.dumps(bank_metadata(item), sort_keys=True) for item in items}
        found[bank] = bank_metadata(newest) | {
            "rows": sum(item.unit.num_rows for item in items),
            "key_times": sum(item.unit.num_times for item in items),
            "videos": len({item.unit.video_id for item in items}),
            # More than 1: some parts were made with other settings than the newest.
            "variants": len(variants),
        }
    return found
