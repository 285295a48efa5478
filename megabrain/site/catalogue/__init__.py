"""The pages of models: what there is, what it costs, who serves it, and whether one's keys do.

prices.py   what calls cost now and later, in words
cards.py    every model as a line of the list, kept while the catalogue stays the same
search.py   what is looked for, and the cards that it finds, best first
views.py    the list, and a model's own page
"""
