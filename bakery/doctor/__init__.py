"""Looks at everything that Bakery depends on, and says what is wrong and how to mend it."""
