"""The intents example: utterances for an on-device assistant, their generator and the recipe of the demo."""
