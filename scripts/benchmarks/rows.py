"""The rows of the table, in its order: what `python -m scripts.benchmark` measures."""

from collections.abc import Sequence

from scripts.benchmarks import slots, startup, streams, submission, switch, tables, throughput
from scripts.benchmarks.model import Row

ROWS: Sequence[Row] = (throughput.ROW, slots.ROW, submission.ROW, streams.ROW, switch.ROW, tables.ROW, startup.ROW)
