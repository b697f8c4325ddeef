"""From a recipe and overrides to a typed config, and the reference of all settings."""
