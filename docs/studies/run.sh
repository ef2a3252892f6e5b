# The studies whose pages stand here, one after the other; see `make studies`. Run from the repository's root. What was
# measured before is kept (docs/studies/*.jsonl), so that it may be stopped and run again.
set -eu
pages=docs/studies
model="--layers 6 --pooling mean --max-tokens 256"
both="--helpful hh-rlhf-helpful-test --harmless hh-rlhf-harmless-test"

tutelage study size --helpful hh-rlhf-helpful-test --sizes 100 300 1000 --seeds 2 $model --out $pages
tutelage study mixture $both --pairs 300 --shares 0 0.5 1 --seeds 2 $model --out $pages
test -d runs/votes || tutelage train pmp --comparisons stackexchange-votes --pairs 500 --held-out 0.02 \
    --layers 6 --pooling mean --max-tokens 512 --head-learning-rate 1e-3 --out runs/votes
tutelage study pmp $both --init runs/votes --sizes 250 1000 --max-tokens 256 --out $pages
tutelage study weight $both --pairs 300 --seeds 1 $model --out $pages
tutelage study agreement $both --pairs 500 --seeds 1 $model --out $pages
