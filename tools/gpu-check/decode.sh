# Part of tools/gpu-check.sh, step decode: the card's decoder against software's, frame by frame, on field-coded streams too.

if ! wanted decode; then row skip decode 0 "not among --steps"
elif compare=$(find_program compare_decoders) && [ -n "$compare" ]; then
    mkdir -p "$work/fields"
    check decode-fields "$limit" '^[1-9][0-9]* frames by the card, equal' "$compare" --fields "$work/fields"
    [ -z "$clip" ] || check decode-clip "$limit" '^[1-9][0-9]* frames by the card, equal' "$compare" "$clip"
    finish
else row skip decode 0 "the build has no compare_decoders"
fi
