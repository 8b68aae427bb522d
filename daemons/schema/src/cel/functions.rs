//! Functions that rules may call.

/// Whether the evaluator knows a function, a method or an operator by this name.
pub(super) fn is_known(name: &str) -> bool {
    // Operators and what macros become have names that no function can have (`_&&_`, `@in`, `!_`).
    let operator = !name.starts_with(|first: char| first.is_ascii_alphabetic());
    operator || KNOWN.iter().any(|group| group.contains(&name))
}

const KNOWN: &[&[&str]] = &[
    // The language itself.
    &[
        "has",
        "all",
        "exists",
        "exists_one",
        "existsOne",
        "map",
        "filter",
        "size",
        "contains",
        "startsWith",
        "endsWith",
    ],
    &["matches", "int", "uint", "double", "string", "bytes", "duration", "timestamp"],
    &[
        "getFullYear",
        "getMonth",
        "getDayOfYear",
        "getDayOfMonth",
        "getDate",
        "getDayOfWeek",
        "getHours",
        "getMinutes",
    ],
    &["getSeconds", "getMilliseconds"],
    // Optional values.
    &["none", "of", "ofNonZeroValue", "value", "hasValue", "or", "orValue", "optional.none", "optional.of"],
    &["optional.ofNonZeroValue"],
    // Text and regular expressions.
    &[
        "charAt",
        "indexOf",
        "lastIndexOf",
        "lowerAscii",
        "upperAscii",
        "replace",
        "split",
        "substring",
        "trim",
        "join",
    ],
    &["reverse", "quote", "format", "find", "findAll"],
    // Lists and sets.
    &["isSorted", "sum", "min", "max", "slice", "sort", "flatten", "distinct", "first", "last", "range"],
    &["equivalent", "intersects"],
    // Addresses and quantities.
    &["ip", "isIP", "isCanonical", "family", "isLoopback", "isUnspecified", "isLinkLocalMulticast"],
    &[
        "isLinkLocalUnicast",
        "isGlobalUnicast",
        "cidr",
        "isCIDR",
        "containsIP",
        "containsCIDR",
        "prefixLength",
        "masked",
    ],
    &["quantity", "isQuantity", "isInteger", "asInteger", "asApproximateFloat", "sign", "add", "sub"],
    &["isGreaterThan", "isLessThan", "compareTo"],
];
