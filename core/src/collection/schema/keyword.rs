//! The words of JSON Schema: which the subset has and which it refuses. All others are annotations
//! and are kept without being read, as the specification asks for words one does not know.

/// The words the subset reads, for messages.
pub(super) const SUBSET: &str = "type, properties, required, default, items, \
    additionalProperties, minLength, maxLength, pattern, minimum, maximum, enum, local $ref, \
    $defs, and format for binary and timestamp";

/// Words that decide what is valid, or what a reference means, and that the subset does not have:
/// those of 2020-12, and those of earlier drafts that a writer may still expect to work. Ignoring
/// them would accept what the schema's author refuses.
const REFUSED: &[(&str, &str)] = &[
    ("$anchor", "use $ref with a JSON pointer"),
    ("$dynamicAnchor", "use $ref with a JSON pointer"),
    ("$dynamicRef", "use $ref with a JSON pointer"),
    ("$recursiveAnchor", "use $ref with a JSON pointer"),
    ("$recursiveRef", "use $ref with a JSON pointer"),
    ("additionalItems", ""),
    ("allOf", "$ref may stand beside other keywords"),
    ("anyOf", "type may be an array"),
    ("const", "use enum with one value"),
    ("contains", ""),
    ("dependencies", ""),
    ("dependentRequired", ""),
    ("dependentSchemas", ""),
    ("disallow", ""),
    ("divisibleBy", ""),
    ("else", ""),
    ("exclusiveMaximum", "use maximum"),
    ("exclusiveMinimum", "use minimum"),
    ("extends", "use $ref"),
    ("if", ""),
    ("maxContains", ""),
    ("maxItems", ""),
    ("maxProperties", ""),
    ("minContains", ""),
    ("minItems", ""),
    ("minProperties", ""),
    ("multipleOf", ""),
    ("not", ""),
    ("oneOf", "type may be an array"),
    ("patternProperties", "use additionalProperties"),
    ("prefixItems", "use items"),
    ("propertyNames", ""),
    ("then", ""),
    ("unevaluatedItems", ""),
    ("unevaluatedProperties", "use additionalProperties"),
    ("uniqueItems", ""),
];

/// If the word is refused, advice on what does the same; empty if nothing does.
pub(super) fn refused(word: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(refused, _)| *refused == word).map(|(_, advice)| *advice)
}

/// All refused words.
#[cfg(test)]
pub(super) fn all_refused() -> impl Iterator<Item = &'static str> {
    REFUSED.iter().map(|(word, _)| *word)
}
