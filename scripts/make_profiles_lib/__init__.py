"""The parts of scripts/make_profiles."""
