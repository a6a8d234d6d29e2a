"""The channels service over HTTP."""
