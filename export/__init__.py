"""Exporters: a fine-tuned model into one format each."""
