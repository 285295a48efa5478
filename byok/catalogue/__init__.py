"""The catalogue: which models there are, who serves them under which id, and what they cost.

bundled.py    the edition that ships with MegaBrain, loaded by migrating
version.py    whether the catalogue has changed since it was last read
memory.py     all of it as values, for whoever must not ask the database
spelling.py   how the name that a caller sends finds a model
held.py       what an account's keys serve
asking.py     what a source tells: a provider's list, or a feed
feeds.py      catalogues that others publish
known.py      all of it as rows, to compare with, and who is believed over whom
changes.py    what a change is
comparing.py  what a source tells, compared with what is known
doubts.py     why a change cannot be believed
applying.py   writing changes
refresh.py    asking a source, and making of it a change set
coverage.py   what a single key covers
"""
