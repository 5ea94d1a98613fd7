"""Typed Parquet partitions: written by extraction, validated, and read by every later step."""
