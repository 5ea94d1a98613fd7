"""Link records by Splink as its tutorial does: its comparisons for persons, and weights learned from the records.

The records have the columns that our own matching has cleaned, so Splink gets the same values. Reading them is not part of its time.
"""

from __future__ import annotations

import time
from pathlib import Path

import duckdb
import pyarrow.parquet as parquet
import splink.comparison_library as cl
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

from include.identity.features import read_features
from local.bench.memory import read_peak

PROBABILITIES = (0.95, 0.999, 0.999999)
"""Minimum probabilities of a link: that of the tutorial, and two stricter ones."""

COLUMNS = [
    "record_id",
    "first",
    "last",
    "birth",
    "email",
    "phone",
    "street",
    "house",
    "city",
    "zip",
    "tax",
    "tax_last4",
]

_SURE = ("tax", "birth, last, first", "email, first", "phone, first, last")
_BLOCKS = (
    "tax",
    "email",
    "birth, last",
    "birth, first",
    "phone, first",
    "last, first",
    "last, zip",
    "street, house, first",
)
_TRAIN = (("first", "last"), ("birth",), ("email",))


def link_by_splink(folder: str) -> dict[str, float]:
    """Link the persons in `persons.parquet`, and write `splink_<probability>.parquet` with the clusters, as CLUSTERS.

    Returns:
        Seconds, CPU seconds and peak memory in MB.
    """
    features, _ = read_features(parquet.read_table(Path(folder) / "persons.parquet"))
    started, worked = time.perf_counter(), time.process_time()
    with duckdb.connect(config={"threads": 2}) as db:
        api = DuckDBAPI(db)
        linker = Linker(api.register(features.select(COLUMNS)), _settings(), log_level=None)
        train = linker.training
        train.estimate_probability_two_random_records_match([block_on(*each.split(", ")) for each in _SURE], recall=0.7)
        train.estimate_u_using_random_sampling(max_pairs=5e6, seed=1)
        for columns in _TRAIN:
            train.estimate_parameters_using_expectation_maximisation(block_on(*columns))
        predicted = linker.inference.predict(threshold_match_probability=min(PROBABILITIES), warning_mode="never")
        for probability in PROBABILITIES:
            clusters = linker.clustering.cluster_pairwise_predictions_at_threshold(predicted, probability)
            table = db.sql(f"select record_id, cluster_id as person_id from {clusters.physical_name}").to_arrow_table()  # noqa: S608
            parquet.write_table(table, Path(folder) / f"splink_{probability}.parquet")
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - worked
    peak_mb = read_peak()
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak_mb}


def _settings() -> SettingsCreator:
    """Return the tutorial's comparisons, and exact ones for the further columns."""
    return SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="record_id",
        comparisons=[
            cl.NameComparison("first").configure(term_frequency_adjustments=True),
            cl.NameComparison("last").configure(term_frequency_adjustments=True),
            cl.DateOfBirthComparison("birth", input_is_string=True, datetime_format="%Y%m%d"),
            cl.EmailComparison("email"),
            cl.ExactMatch("phone"),
            cl.ExactMatch("city").configure(term_frequency_adjustments=True),
            cl.LevenshteinAtThresholds("street", 2),
            cl.ExactMatch("tax"),
            cl.LevenshteinAtThresholds("tax_last4", 1),
        ],
        blocking_rules_to_generate_predictions=[block_on(*each.split(", ")) for each in _BLOCKS],
        retain_matching_columns=False,
    )
