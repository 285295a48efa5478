"""How the admin writes times, in place of Django's own choice; other pages use words."""
