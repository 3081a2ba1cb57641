#!/bin/sh
# The whole example, as `make demo` runs it: what you would type in this folder.
set -eu
cd "$(dirname "$0")"

step() { printf '\n=== %s\n' "$1"; }
run() {
    printf '\n$ %s\n' "$*"
    "$@"
}

step "1 of 5: the Python language reference becomes an index"
run latent run prepare

step "2 of 5: 140 questions are searched for, by meaning and by meaning and words; is one way better?"
run latent run search
run latent runs tag last vector
run latent run search -p mode=hybrid
run latent compare vector last
echo
echo "Good enough? The gates in flows/search/parameters.yaml decide, for the search by meaning:"
run latent gate vector

step "3 of 5: a small model answers 20 of the questions from the passages that were found by meaning"
run latent run answer

step "4 of 5: the same answers once more, graded by a model; nothing is asked again"
echo "The judge is as small as the model that answered: it shows how judging works, and cannot judge."
run latent score last --with judges.py:tiny_judge

step "5 of 5: the gates of the answers, and the page"
run latent gate || echo "So it should be: 20 rows are enough to see that so small a model is not good enough."
run latent report --no-open -o report.html

cat <<'END'

Open examples/python_reference/report.html: every answer with its passages and scores.
Run `make demo` again: only what has changed is computed. Then try, in examples/python_reference,
  latent run answer -p mode=hybrid       # the model reads other passages; `latent compare` says what that does
  latent run answer -p model=openai:gpt-5-mini           # a model that can answer; it takes OPENAI_API_KEY
END
