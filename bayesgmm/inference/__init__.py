"""The verbs: what a user does with a declaration and a fit."""
