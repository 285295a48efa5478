"""The signed-in frame, landing, dashboard, documentation and health pages."""
