//! Objects of Kubernetes, as files or a cluster have them.

use std::collections::BTreeMap;

use metallb_k8s::crd::GROUP;

use crate::check::Finding;
use crate::input::{Node, Source, Value, parse};

/// One object, and the source it stands in.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) source: Option<usize>,
    pub(crate) node: Node,
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
}

impl Document {
    /// An object of a cluster.
    pub(crate) fn of_cluster(object: serde_json::Value) -> Self {
        Self::new(None, Node::unplaced(object))
    }

    fn new(source: Option<usize>, node: Node) -> Self {
        let text = |name: &str| node.text(name).unwrap_or_default().to_owned();
        let meta = node.get("metadata");
        let name = meta.and_then(|meta| meta.text("name")).unwrap_or_default().to_owned();
        let namespace = meta.and_then(|meta| meta.text("namespace")).filter(|text| !text.is_empty());
        let namespace = namespace.map(str::to_owned);
        Self { api_version: text("apiVersion"), kind: text("kind"), source, name, namespace, node }
    }

    /// The version, when the object is of our group.
    pub(crate) fn version(&self) -> Option<&str> {
        self.api_version.strip_prefix(GROUP)?.strip_prefix('/')
    }

    /// How the object is called in messages.
    pub(crate) fn title(&self) -> String {
        match (self.kind.as_str(), self.name.as_str()) {
            ("", "") => "object".to_owned(),
            ("", name) => format!("object {name:?}"),
            (kind, "") => format!("{kind} without a name"),
            (kind, name) => format!("{kind} {name:?}"),
        }
    }

    /// The object without the values at these places.
    pub(crate) fn without(&self, fields: &[&str]) -> Self {
        let mut rest = self.clone();
        for field in fields {
            rest.node.forget(field);
        }
        rest
    }

    /// A finding about this object, with its place.
    pub(crate) fn place(&self, finding: Finding) -> Finding {
        let place = self.node.find(&finding.field);
        let span = if finding.rule == "unknown_field" { place.key_span.or(place.span) } else { place.span };
        Finding { object: self.title(), source: self.source, span, ..finding }
    }
}

/// All objects of the sources, those in lists too, and what is wrong with the sources themselves.
pub(crate) fn documents(sources: &[Source]) -> (Vec<Document>, Vec<Finding>) {
    let mut documents = Vec::new();
    let mut findings = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let (nodes, error) = parse(&source.text);
        for node in nodes {
            collect(index, node, &mut documents, &mut findings);
        }
        if let Some(error) = error {
            let finding = Finding::error("syntax", "", error.message);
            let help = error.help.map(str::to_owned);
            findings.push(Finding { source: Some(index), span: Some(error.span), help, ..finding });
        }
    }
    (documents, findings)
}

fn collect(source: usize, node: Node, documents: &mut Vec<Document>, findings: &mut Vec<Finding>) {
    let is_list = node.text("kind").is_some_and(|kind| kind.ends_with("List"));
    if is_list && let Some(Node { value: Value::List(items), .. }) = node.get("items") {
        items.iter().cloned().for_each(|item| collect(source, item, documents, findings));
        return;
    }
    let document = Document::new(Some(source), node);
    let missing = |field: &str| {
        let finding = Finding::error("not_an_object", field, "is missing: this is no object of Kubernetes");
        document.place(finding.help("write apiVersion and kind, as in apiVersion: metallb.io/v1beta1"))
    };
    if !matches!(document.node.value, Value::Map(_)) {
        let finding =
            Finding::error("not_an_object", "", "this is no object of Kubernetes, which is a map of fields");
        findings.push(Finding { object: String::new(), ..document.place(finding) });
    } else if document.api_version.is_empty() {
        findings.push(missing("apiVersion"));
    } else if document.kind.is_empty() {
        findings.push(missing("kind"));
    } else {
        documents.push(document);
    }
}

/// How many objects there are of the kinds that are not looked at.
pub(crate) fn skipped(documents: &[Document]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let others = documents.iter().filter(|document| document.version().is_none() && !is_fact(document));
    for document in others {
        let count: &mut usize = counts.entry(document.kind.clone()).or_default();
        *count = count.saturating_add(1);
    }
    counts
}

/// Whether an object of another group says something that decides.
fn is_fact(document: &Document) -> bool {
    matches!(
        (document.api_version.as_str(), document.kind.as_str()),
        ("v1", "Service" | "Node" | "Namespace" | "Secret") | ("discovery.k8s.io/v1", "EndpointSlice")
    )
}
