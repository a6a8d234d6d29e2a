"""The words that cross a boundary: ids, instants, topics, envelopes and events."""
