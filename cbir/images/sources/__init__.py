"""Where pictures lie: folders, object stores, tar shards, lists. Listing, change tokens, reading."""
