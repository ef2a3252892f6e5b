# The studies whose pages stand here, one after the other; see `make studies`. Run from the repository's root. What was
# measured before is kept beside the pages, so that it may be stopped and run again. --seeds 2 adds to what is there.
set -eu
pages=docs/studies
model="--layers 4 --pooling mean --max-tokens 256"
helpful="--helpful hh-rlhf-helpful-test"
both="$helpful --harmless hh-rlhf-harmless-test"

tutelage study size $helpful --sizes 100 300 1000 $model --out $pages
tutelage study mixture $both --pairs 200 --shares 0 0.5 1 $model --out $pages
tutelage study weight $both --pairs 200 $model --out $pages
tutelage study agreement $both --pairs 200 $model --out $pages
tutelage study agreement $helpful --pairs 300 $model --out $pages/helpful
test -d runs/votes || tutelage train pmp --comparisons stackexchange-votes --pairs 300 --held-out 0.02 \
    --layers 4 --pooling mean --max-tokens 512 --head-learning-rate 1e-3 --out runs/votes
tutelage study pmp $both --init runs/votes --sizes 250 --max-tokens 256 --out $pages
tutelage study pmp $helpful --init runs/votes --sizes 250 --max-tokens 256 --out $pages/helpful
