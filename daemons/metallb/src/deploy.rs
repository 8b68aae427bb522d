//! Prints what `deploy/` contains, with images and namespace of one's own.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

const NATIVE: &str = include_str!("../../../deploy/manifests/metallb-native.yaml");
const PROMETHEUS: &str = include_str!("../../../deploy/manifests/metallb-native-prometheus.yaml");

/// What stands in the files.
const REGISTRY: &str = "localhost/metallb";
const TAG: &str = concat!("v", env!("CARGO_PKG_VERSION"));
const NAMESPACE: &str = "metallb-system";

/// Between two objects.
const SEPARATOR: &str = "---\n";

/// How long a name of a namespace or a tag of an image may be.
const LONGEST_NAME: usize = 63;
const LONGEST_TAG: usize = 128;

/// Flags of `metallb manifests`.
#[derive(Args, Debug)]
#[command(after_help = MANIFESTS_EXAMPLES)]
pub(crate) struct ManifestsArgs {
    /// Where the images `controller` and `speaker` are: a registry and a path.
    #[arg(long, default_value = REGISTRY, value_parser = parse_registry, value_name = "REGISTRY")]
    registry: String,

    /// Tag of both images.
    #[arg(long, default_value = TAG, value_parser = parse_tag, value_name = "TAG")]
    tag: String,

    /// With Services and ServiceMonitors for the Prometheus operator, whose definitions the cluster must have.
    #[arg(long)]
    prometheus: bool,

    #[command(flatten)]
    place: Place,
}

/// Flags of `metallb crds`.
#[derive(Args, Debug)]
#[command(after_help = CRDS_EXAMPLES)]
pub(crate) struct CrdsArgs {
    #[command(flatten)]
    place: Place,
}

#[derive(Args, Debug)]
struct Place {
    /// Namespace of the installation.
    #[arg(long, default_value = NAMESPACE, value_parser = parse_namespace, value_name = "NAME")]
    namespace: String,
}

const MANIFESTS_EXAMPLES: &str = "\
Examples:
  metallb manifests | kubectl apply -f -                                       images were loaded into the nodes
  metallb manifests --registry registry.example.com/metallb --tag v1 > metallb.yaml";

const CRDS_EXAMPLES: &str = "\
Examples:
  metallb crds | kubectl apply -f -
  metallb crds | kubectl diff -f -";

/// Prints the objects of an installation.
pub(crate) fn manifests(args: &ManifestsArgs) -> ExitCode {
    let manifest = if args.prometheus { PROMETHEUS } else { NATIVE };
    print(&render(manifest, args))
}

/// Prints the definitions of the custom resources, as an installation has them.
pub(crate) fn crds(args: &CrdsArgs) -> ExitCode {
    print(&in_namespace(&definitions(NATIVE), &args.place.namespace))
}

fn render(manifest: &str, args: &ManifestsArgs) -> String {
    let mut text = in_namespace(manifest, &args.place.namespace);
    for daemon in ["controller", "speaker"] {
        let stated = format!("image: {REGISTRY}/{daemon}:{TAG}\n");
        text = text.replace(&stated, &format!("image: {}/{daemon}:{}\n", args.registry, args.tag));
    }
    text
}

/// The objects with another namespace. Whole values only: the names of cluster roles begin with the namespace's and
/// stay as they are.
fn in_namespace(manifest: &str, namespace: &str) -> String {
    ["namespace: ", "  name: ", "  - "].iter().fold(manifest.to_owned(), |text, before| {
        text.replace(&format!("{before}{NAMESPACE}\n"), &format!("{before}{namespace}\n"))
    })
}

fn definitions(manifest: &str) -> String {
    let objects = manifest.split_inclusive(SEPARATOR);
    let definitions = objects.filter(|object| object.contains("\nkind: CustomResourceDefinition\n"));
    let definitions: Vec<_> = definitions.map(|object| object.trim_end_matches(SEPARATOR)).collect();
    definitions.join(SEPARATOR)
}

/// A reader that has seen enough, as in `metallb crds | head`, is no failure.
fn print(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write to standard output: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn parse_registry(text: &str) -> Result<String, String> {
    let is_allowed =
        |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || b".-_:[]".contains(&octet);
    let parts = text.split('/').all(|part| !part.is_empty() && part.bytes().all(is_allowed));
    let expected = "expected a registry and a path, as in registry.example.com/metallb, in small letters and without https://";
    if parts { Ok(text.to_owned()) } else { Err(expected.to_owned()) }
}

fn parse_tag(text: &str) -> Result<String, String> {
    let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"._-".contains(&octet);
    let starts = text.bytes().next().is_some_and(|octet| octet.is_ascii_alphanumeric() || octet == b'_');
    if starts && text.len() <= LONGEST_TAG && text.bytes().all(is_allowed) {
        return Ok(text.to_owned());
    }
    Err("expected a tag, as in v1.2.3: letters, digits, dots, dashes and underscores, at most 128".to_owned())
}

fn parse_namespace(text: &str) -> Result<String, String> {
    let is_inner = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
    let ends = !text.starts_with('-') && !text.ends_with('-') && !text.is_empty();
    if ends && text.len() <= LONGEST_NAME && text.bytes().all(is_inner) {
        return Ok(text.to_owned());
    }
    Err("expected a namespace's name: small letters, digits and dashes, at most 63".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ManifestsArgs,
    }

    fn mk_args(args: &[&str]) -> Result<ManifestsArgs, clap::Error> {
        Line::try_parse_from(std::iter::once("manifests").chain(args.iter().copied())).map(|line| line.args)
    }

    #[test]
    fn without_flags_the_files_are_printed_as_they_are() {
        let args = mk_args(&[]).unwrap();
        assert!(render(NATIVE, &args) == NATIVE && render(PROMETHEUS, &args) == PROMETHEUS);
    }

    #[test]
    fn images_are_taken_from_the_registry_and_tag() {
        let args = mk_args(&["--registry=r.example:5000/lb", "--tag=v7"]).unwrap();
        let text = render(PROMETHEUS, &args);
        let images: Vec<_> = text.lines().filter(|line| line.contains("image: ")).map(str::trim).collect();
        assert_eq!(images, ["image: r.example:5000/lb/controller:v7", "image: r.example:5000/lb/speaker:v7"]);
    }

    #[test]
    fn nothing_stays_in_the_old_namespace() {
        let text = render(PROMETHEUS, &mk_args(&["--namespace=lb"]).unwrap());
        let left: Vec<_> = text.lines().filter(|line| line.trim_end().ends_with(NAMESPACE)).collect();
        assert_eq!(left, Vec::<&str>::new());
        assert!(text.contains("\n  name: lb\n") && text.contains("name: metallb-system:speaker\n"));
    }

    #[test]
    fn the_definitions_are_those_of_the_manifest_with_their_conversion() {
        let text = in_namespace(&definitions(NATIVE), "lb");
        assert_eq!(text.matches("\nkind: ").count(), 9);
        assert_eq!(text.matches("\nkind: CustomResourceDefinition\n").count(), 9);
        assert!(text.contains("          namespace: lb\n") && !text.ends_with(SEPARATOR));
    }

    #[test]
    fn a_wrong_value_names_the_flag_and_what_is_right() {
        for (flag, remedy) in [
            ("--registry=https://r.example", "without https://"),
            ("--registry=r.example/", "as in registry.example.com/metallb"),
            ("--tag=", "as in v1.2.3"),
            ("--tag=-1", "as in v1.2.3"),
            ("--namespace=LB", "small letters"),
            ("--namespace=-", "small letters"),
        ] {
            let error = mk_args(&[flag]).unwrap_err().to_string();
            let name = flag.split('=').next().unwrap();
            assert!(error.contains(name) && error.contains(remedy), "{flag}: {error}");
        }
    }
}
