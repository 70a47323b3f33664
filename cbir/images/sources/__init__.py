"""Sources of pictures: folders, object stores, tar shards, lists; their listings, change tokens and bytes."""
