"""The pages of accounts, of their members, API tokens and audit log."""
