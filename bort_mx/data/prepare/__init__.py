"""Text files to shuffled, deduplicated, split, tokenised shards, in bounded memory: the stages of `bort-mx prepare`.

One number decides everything about a sentence: a 128-bit hash of its characters, salted with the seed.

    text ─ blocks ─▶ workers: clean, split, hash, tokenise ─▶ buckets by the hash's leading bits   (text_to_buckets)
    bucket ─▶ workers: sort by hash, drop equal neighbours ─▶ train | validation | test shards      (buckets_to_shards)

Sorting by the hash shuffles the whole corpus: buckets come in order, and each is sorted. Equal sentences meet in one
bucket, whatever file they come from. The last bits of the hash pick the split. So a sentence lands in the same split in
every corpus that is prepared with the same seed, and texts prepared apart do not leak into each other's validation.
Nothing depends on when a sentence was read. So the bytes do not depend on the number of workers or the order of files.

`bort_mx.commands.prepare.prepare` puts the stages together.
"""
