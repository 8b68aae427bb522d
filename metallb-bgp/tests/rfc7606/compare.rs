//! Compares the crate's judgement with the naive one.

use ipnetwork::IpNetwork;
use metallb_bgp::types::{Families, NextHop};
use metallb_bgp::wire::header::{Frame, Header, MessageLimit};
use metallb_bgp::wire::iana;
use metallb_bgp::wire::update::{Action, UpdateContext, UpdateView};

use super::naive;

/// A whole UPDATE around `body`, `None` when it is too short or too long to be one.
pub(crate) fn message(body: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(body.len() + Header::LEN).ok().filter(|length| *length >= 23)?;
    Some([&[0xff; 16], &length.to_be_bytes()[..], &[iana::MSG_UPDATE], body].concat())
}

/// Panics unless both judgements of the UPDATE with this body agree; tells the action they agree on.
pub(crate) fn agree(body: &[u8], context: &UpdateContext) -> Option<Action> {
    let message = message(body)?;
    let frame = Frame::parse(&message, MessageLimit::Extended).expect("the header is right");
    let expected = naive::judge(body, context);
    let view = match UpdateView::parse(frame) {
        Ok(view) => view,
        Err(error) => {
            assert_eq!(expected.action, Action::ResetSession);
            assert!(expected.subcodes.contains(&error.notification().subcode));
            return Some(Action::ResetSession);
        }
    };
    let classified = view.classify(context);
    assert_eq!(classified.action(), expected.action, "{:?}", classified.fault());
    assert_eq!(classified.fault().is_none(), expected.action == Action::Accept);
    match classified.error() {
        Some(error) => {
            let notification = error.notification();
            assert_eq!((notification.code, expected.action), (3, Action::ResetSession));
            assert!(expected.subcodes.contains(&notification.subcode), "{error:?} {:?}", expected.subcodes);
        }
        None => assert_ne!(expected.action, Action::ResetSession),
    }
    let marker = classified.end_of_rib().map(|family| (family.afi, family.safi));
    assert_eq!(marker, expected.end_of_rib);
    assert_eq!(classified.disabled_families(), expected.disabled.into_iter().collect::<Families>());
    let mut withdrawn: Vec<IpNetwork> = classified.withdrawn().collect();
    withdrawn.sort();
    assert_eq!(withdrawn, expected.withdrawn);
    let mut announced: Vec<(NextHop, IpNetwork)> = Vec::new();
    for reach in classified.reach() {
        assert_eq!(reach.prefixes.len(), reach.prefixes.clone().count());
        let attributes = classified.attributes(reach.next_hop);
        assert_eq!(attributes.next_hop, reach.next_hop);
        announced.extend(reach.prefixes.map(|prefix| (reach.next_hop, prefix)));
    }
    assert_eq!(announced, expected.announced);
    Some(expected.action)
}
