//! What is told about services only when it lasts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::announce::AnnounceProblem;
use crate::keys::ServiceKey;

/// Problems of services on their way to being told. Watches of different kinds come in any order, so that a new service
/// may have no endpoint for a moment; only what still holds after [`PATIENCE`] is told.
#[derive(Debug, Default)]
pub(super) struct ProblemReports {
    held: HashMap<ServiceKey, (Instant, AnnounceProblem)>,
    due: BTreeMap<Instant, BTreeSet<ServiceKey>>,
    told: HashMap<ServiceKey, AnnounceProblem>,
}

/// How long a problem has to last before it is told.
pub const PATIENCE: Duration = Duration::from_secs(1);

impl ProblemReports {
    /// Takes what an evaluation says about a service. True when that ends a problem that was told.
    pub(super) fn handle_problem(
        &mut self,
        now: Instant,
        service: &ServiceKey,
        problem: Option<AnnounceProblem>,
    ) -> bool {
        let since = self.held.remove(service).map(|(at, _)| {
            if let Some(services) = self.due.get_mut(&at) {
                services.remove(service);
                if services.is_empty() {
                    self.due.remove(&at);
                }
            }
            at
        });
        let Some(problem) = problem else { return self.told.remove(service).is_some() };
        if self.told.get(service) == Some(&problem) {
            return false;
        }
        self.hold(now, since, service, problem);
        false
    }

    /// A service is gone, and may be there again under the same name: of that one nothing was told.
    pub(super) fn forget(&mut self, now: Instant, service: &ServiceKey) {
        if let Some(problem) = self.told.remove(service)
            && !self.held.contains_key(service)
        {
            self.hold(now, None, service, problem);
        }
    }

    /// Something has been wrong since `since`, if not always the same.
    fn hold(&mut self, now: Instant, since: Option<Instant>, service: &ServiceKey, problem: AnnounceProblem) {
        let at = since.or_else(|| now.checked_add(PATIENCE)).unwrap_or(now);
        self.held.insert(service.clone(), (at, problem));
        self.due.entry(at).or_default().insert(service.clone());
    }

    /// When [`ProblemReports::handle_timeout`] has something to tell.
    #[must_use]
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.due.first_key_value().map(|(at, _)| *at)
    }

    /// The problems that have lasted, to be told now.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<(ServiceKey, AnnounceProblem)> {
        let mut lasting = Vec::new();
        while let Some(entry) = self.due.first_entry().filter(|entry| *entry.key() <= now) {
            for service in entry.remove() {
                let Some((_, problem)) = self.held.remove(&service) else { continue };
                self.told.insert(service.clone(), problem.clone());
                lasting.push((service, problem));
            }
        }
        lasting
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::begin;
    use super::*;

    fn problem(last: u8) -> AnnounceProblem {
        AnnounceProblem::NoAdvertisement { address: [192, 0, 2, last].into() }
    }

    fn key() -> ServiceKey {
        ServiceKey::new("default", "web")
    }

    #[test]
    fn what_is_over_within_a_second_is_never_told() {
        let (mut reports, now) = (ProblemReports::default(), begin());
        assert!(!reports.handle_problem(now, &key(), Some(problem(1))));
        assert_eq!(reports.next_timeout(), Some(now + PATIENCE));
        assert_eq!(reports.handle_timeout(now + PATIENCE / 2), []);
        assert!(!reports.handle_problem(now, &key(), None), "nothing was told that could end");
        assert_eq!(reports.next_timeout(), None);
        assert_eq!(reports.handle_timeout(now + PATIENCE), []);
    }

    #[test]
    fn what_was_told_of_a_service_is_told_of_the_next_one_of_that_name_and_its_end_is_no_word() {
        let (mut reports, now) = (ProblemReports::default(), begin());
        reports.handle_problem(now, &key(), Some(problem(1)));
        reports.handle_timeout(now + PATIENCE);
        let later = now + PATIENCE * 10;
        reports.forget(later, &key());
        assert_eq!(reports.handle_timeout(later), []);
        assert_eq!(reports.handle_timeout(later + PATIENCE), [(key(), problem(1))]);
        reports.forget(later + PATIENCE, &key());
        assert!(!reports.handle_problem(later + PATIENCE, &key(), None), "the service has gone");
        assert_eq!(reports.next_timeout(), None);
    }

    #[test]
    fn what_lasts_is_told_once_as_it_is_then() {
        let (mut reports, now) = (ProblemReports::default(), begin());
        reports.handle_problem(now, &key(), Some(problem(1)));
        reports.handle_problem(now + PATIENCE / 2, &key(), Some(problem(2)));
        assert_eq!(reports.handle_timeout(now + PATIENCE), [(key(), problem(2))]);
        reports.handle_problem(now + PATIENCE, &key(), Some(problem(2)));
        assert_eq!(reports.next_timeout(), None);
        assert!(reports.handle_problem(now + PATIENCE, &key(), None), "its end is told");
    }
}
