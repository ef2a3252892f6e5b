# The studies whose pages stand here, one after the other; see `make studies`. Run from the repository's root. What was
# measured before (points, features) is kept beside the pages, so that it may be stopped and run again. A higher --seeds
# adds to what is there.
set -eu
pages=docs/studies
helpful="--helpful hh-rlhf-helpful-test"
both="$helpful --harmless hh-rlhf-harmless-test"

# Linear probes of the frozen base
probes="--pooling mean --seeds 10 --probe"
tutelage study size $helpful $probes 0.3 1 3 10 --layers 4 16 --sizes 100 200 400 800 1196 --out $pages
tutelage study mixture $both $probes 1 3 10 --layers 16 --out $pages
tutelage study weight $both $probes 1 3 10 --layers 16 --out $pages
tutelage study agreement $both $probes 1 3 10 --layers 16 --out $pages
tutelage study agreement $helpful $probes 1 3 10 --layers 16 --out $pages/helpful
test -d runs/votes || tutelage train pmp --plain --comparisons stackexchange-votes --pairs 1100 --held-out 0.03 \
    --layers 16 --pooling mean --max-tokens 384 --rank 1 --epochs 0 --probe 1 --out runs/votes
tutelage study pmp $helpful $probes 1 3 10 --init runs/votes --sizes 250 500 1000 --out $pages/helpful
tutelage study pmp $both $probes 1 3 10 --init runs/votes --sizes 250 500 1000 2000 --out $pages

# Fine-tuned adapters
tuned=$pages/fine-tuned
model="--layers 4 --pooling mean --max-tokens 256"
tutelage study size $helpful --sizes 100 300 1000 $model --out $tuned
tutelage study mixture $both --pairs 200 --shares 0 0.5 1 $model --out $tuned
tutelage study weight $both --pairs 200 $model --out $tuned
tutelage study agreement $both --pairs 200 $model --out $tuned
tutelage study agreement $helpful --pairs 300 $model --out $tuned/helpful
test -d runs/votes-tuned || tutelage train pmp --comparisons stackexchange-votes --pairs 300 --held-out 0.02 \
    --layers 4 --pooling mean --max-tokens 512 --head-learning-rate 1e-3 --out runs/votes-tuned
tutelage study pmp $both --init runs/votes-tuned --sizes 250 --max-tokens 256 --out $tuned
tutelage study pmp $helpful --init runs/votes-tuned --sizes 250 --max-tokens 256 --out $tuned/helpful
