"""Example data sets that ship with edgebert; `edgebert demo` runs on `intents`, with nothing to download."""
