"""The pages of API tokens and of the audit log."""
