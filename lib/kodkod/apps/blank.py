# Imported anew whenever a module is needed that is filled by hand.
