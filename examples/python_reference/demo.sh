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
run latent compare vector last --html --no-open -o comparison.html
echo
echo "Good enough? The search by meaning, held against the gates in flows/search/parameters.yaml:"
run latent gate vector

step "3 of 5: a small model answers 20 of the questions from the passages that were found by meaning"
run latent run answer
echo
echo "Good enough? Of 20 rows little can be said, but this much can: so small a model is not."
run latent gate || true

step "4 of 5: those answers are graded by a model; nothing is asked of the one that answered"
echo "The judge is as small as the model: it shows how judging works, and its grades mean nothing."
run latent score last --with judges.py:tiny_judge

step "5 of 5: the page, with every answer, its passages and its scores"
run latent report --no-open -o report.html

cat <<'END'

Open in a browser:
  examples/python_reference/report.html        what the model answered
  examples/python_reference/comparison.html    what the two ways of searching found
Run `make demo` again: nothing is computed twice. Then, in examples/python_reference, try
  latent run answer -p mode=hybrid                      the model reads what the other search finds
  latent run answer -p model=openai:gpt-5-mini          a model that can answer, with OPENAI_API_KEY set
  latent graph                                          what depends on what
END
