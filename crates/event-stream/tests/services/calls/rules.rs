//! Who may make which call is said of every call.

use std::collections::BTreeSet;

use atlas_events::FILE_DESCRIPTOR_SET;
use event_stream::RULES;
use prost::Message;
use prost_types::FileDescriptorSet;

#[test]
fn every_call_of_the_contract_has_a_rule_and_no_other() {
    let contract = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let mut calls = BTreeSet::new();
    for file in &contract.file {
        for service in &file.service {
            let methods = service.method.iter();
            calls.extend(
                methods.map(|m| format!("/{}.{}/{}", file.package(), service.name(), m.name())),
            );
        }
    }
    assert!(!calls.is_empty());
    let paths = RULES.iter().map(|rule| rule.path);
    let ruled: BTreeSet<_> = paths.filter(|path| path.starts_with("/atlas.")).collect();
    assert_eq!(ruled.len(), calls.len(), "{calls:?}");
    for call in &calls {
        assert!(ruled.contains(call.as_str()), "{call} has no rule");
    }
    // Only the methods that say whether and what is served have no scope of their own.
    let open = RULES.iter().filter(|rule| rule.scope.is_none());
    for rule in open {
        assert!(rule.path.starts_with("/grpc."), "{rule:?}");
    }
}
