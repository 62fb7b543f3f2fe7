//! Two years of one certificate: ordered, asked about, renewed, through restarts and a server that fails for weeks.

use anygate_proto::acme::{Account, Attempts, ChallengeKind, Enquiry, Issuance, Issued, Next, Schedule};

use super::authority::problem;
use super::{Answer, Manner, NOW, Request, World, account, names, well, wish};

const DAY: u64 = 86_400;

struct Years {
    world: World,
    account: Vec<u8>,
    kept: Option<Vec<u8>>,
    not_after: u64,
    attempts: Vec<u8>,
    orders: u32,
    enquiries: u32,
    failures: u32,
}

impl Years {
    fn new(manner: Manner) -> Self {
        let account = account().entry().bytes;
        Self {
            world: World::new(manner),
            account,
            kept: None,
            not_after: 0,
            attempts: Vec::new(),
            orders: 0,
            enquiries: 0,
            failures: 0,
        }
    }

    /// From a start on what was kept, until `until`.
    fn run(&mut self, until: u64, fault: &mut super::Fault) {
        let wished = names(&["a.example", "b.example"]);
        let facts = self.kept.as_ref().map(|bytes| Issued::read(bytes).unwrap().facts);
        let mut schedule = Schedule::new(&wished, facts, Attempts::read(&self.attempts), 31_337);
        while self.world.now < until {
            match schedule.next(self.world.now) {
                Next::Wait(time) => self.world.now += time.as_secs(),
                Next::Enquire { id } => {
                    self.enquiries += 1;
                    let came = self.world.enquire_with(Enquiry::new(&super::directory(), &id), fault);
                    schedule.enquired(came.as_ref().cloned(), self.world.now);
                }
                Next::Order { replaces } => {
                    self.orders += 1;
                    let wish = wish(&["a.example", "b.example"], ChallengeKind::TlsAlpn01);
                    let wish = wish.replacing(replaces.as_deref());
                    let mut issuance = Issuance::new(Account::read(&self.account).unwrap(), wish);
                    match self.world.issue(&mut issuance, fault) {
                        Ok(issued) => {
                            self.account = issuance.account().entry().bytes;
                            self.kept = Some(issued.entry("https://ca.example/", &wished[0]).bytes);
                            self.not_after = issued.facts.not_after;
                            schedule.issued(issued.facts, self.world.now);
                        }
                        Err(failure) => {
                            self.failures += 1;
                            schedule.failed(&failure, self.world.now);
                        }
                    }
                    self.attempts = schedule.attempts().entry("https://ca.example/", &wished[0]).bytes;
                }
            }
            assert!(self.kept.is_none() || self.not_after > self.world.now, "it ran out");
        }
    }
}

#[test]
fn a_certificate_is_renewed_for_two_years_through_restarts_and_never_runs_out() {
    for (lifetime, renewal_info, orders) in [(90, false, 13), (90, true, 13), (6, true, 175)] {
        let lifetime = lifetime * DAY;
        let mut years = Years::new(Manner { lifetime, renewal_info, bad_nonce_each: 7, ..Manner::default() });
        for month in 1..=24 {
            // What the server suggests is two thirds into the life of what it issued, and says so only where it can.
            years.world.authority.suggest = renewal_info.then_some(2);
            years.run(NOW + month * 30 * DAY, &mut well);
        }
        assert_eq!(years.failures, 0);
        assert!((orders - orders / 10..=orders + 2).contains(&years.orders), "{} orders", years.orders);
        assert_eq!(years.world.authority.accounts.len(), 1);
    }
}

#[test]
fn weeks_without_the_server_are_outlived_and_a_withdrawn_certificate_is_replaced_in_a_day() {
    let mut years = Years::new(Manner::default());
    years.run(NOW + 55 * DAY, &mut well);
    assert_eq!(years.orders, 1);
    // It is due on day 60; the server is down from day 55 to day 80.
    let mut down = |_: usize, _: &Request, _: Answer| Ok(problem(503, "serverInternal", "down"));
    years.run(NOW + 80 * DAY, &mut down);
    assert!((20..=40).contains(&years.failures), "{} attempts in three weeks", years.failures);
    years.run(NOW + 82 * DAY, &mut well);
    assert_eq!(years.world.authority.orders.len(), 2);
    years.world.authority.window = ("2026-01-02T00:00:00Z".into(), "2026-01-03T00:00:00Z".into());
    years.run(NOW + 84 * DAY, &mut well);
    assert!(years.world.authority.orders.len() >= 3, "the window is in the past");
    assert!(years.world.authority.orders.len() <= 14, "and stays there: every six hours at most");
    assert!(years.enquiries < 84 * 5);
}
