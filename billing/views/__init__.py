"""The pages about money: what an account has, uses and subscribes to."""
