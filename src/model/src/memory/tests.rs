//! Does the budget hold under every order of requests, and is it shared fairly?

use super::*;
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

const MIB: usize = 1 << 20;

fn tenant(n: usize) -> TenantId {
    TenantId::new(&format!("t{n}")).unwrap()
}

fn used(budget: &MemoryBudget, class: Class) -> usize {
    budget.usage()[class.at()].used
}

/// Takes as much as it gets in pieces of `piece`.
fn fill(lease: &Lease, piece: usize) -> Exhausted {
    loop {
        if let Err(error) = lease.try_grow(piece) {
            return error;
        }
    }
}

#[test]
fn a_lease_grows_shrinks_and_comes_back() {
    let budget = MemoryBudget::new(8 * MIB, &[]);
    let lease = budget.lease(Class::Ingest, &tenant(0));
    lease.try_grow(MIB).unwrap();
    lease.try_set(2 * MIB).unwrap();
    assert_eq!(lease.bytes(), 2 * MIB);
    let held = used(&budget, Class::Ingest);
    assert!((2 * MIB..3 * MIB).contains(&held), "{held}");
    lease.try_set(10).unwrap();
    assert!(used(&budget, Class::Ingest) <= 8 << 10);
    drop(lease);
    assert_eq!(used(&budget, Class::Ingest), 0);
    assert!(budget.usage()[Class::Ingest.at()].peak >= 2 * MIB);
}

#[test]
fn no_class_starves_another() {
    let budget = MemoryBudget::new(16 * MIB, &[(Class::Ingest, 4 * MIB), (Class::Query, 4 * MIB)]);
    let hogs: Vec<Lease> = (0..50).map(|n| budget.lease(Class::Query, &tenant(n))).collect();
    for hog in &hogs {
        fill(hog, 8 << 10);
    }
    assert!(used(&budget, Class::Query) > 11 * MIB, "{}", used(&budget, Class::Query));
    let push = budget.lease(Class::Ingest, &tenant(0));
    push.try_grow(3 * MIB).unwrap();
    drop(hogs);
    push.try_grow(4 * MIB).unwrap();
}

#[test]
fn a_tenant_that_takes_all_it_can_leaves_room_for_the_next() {
    let budget = MemoryBudget::new(64 * MIB, &[]);
    let hog = budget.lease(Class::Query, &tenant(0));
    let error = fill(&hog, 64 << 10);
    assert_eq!(
        (error.bound, error.is_temporary()),
        (Bound::Never, false),
        "alone it had all that it ever can"
    );
    assert_eq!(budget.most(Class::Query), 48 * MIB);
    assert!(hog.bytes() > 47 * MIB, "{}", hog.bytes());
    let other = budget.lease(Class::Query, &tenant(1));
    let error = fill(&other, 64 << 10);
    assert_eq!(error.bound, Bound::Tenant);
    assert!(other.bytes() > 11 * MIB, "{}", other.bytes());
    // Now that there are two, the first is above its share: what it gives back it does not get again.
    hog.shrink(8 * MIB);
    assert_eq!(hog.try_grow(8 * MIB).unwrap_err().bound, Bound::Tenant);
    let third = budget.lease(Class::Query, &tenant(2));
    third.try_grow(MIB).unwrap();
}

#[test]
fn what_fits_never_is_said_at_once() {
    let budget = MemoryBudget::new(16 * MIB, &[(Class::Ingest, 4 * MIB)]);
    let lease = budget.lease(Class::Query, &tenant(0));
    for more in [13 * MIB, 16 * MIB, usize::MAX] {
        let error = lease.try_grow(more).unwrap_err();
        assert!(!error.is_temporary());
        assert!(error.to_string().contains(SETTING), "{error}");
        assert_eq!(lease.grow_blocking(more, || unreachable!()).unwrap_err().bound, Bound::Never);
    }
    assert_eq!((lease.bytes(), budget.usage()[Class::Query.at()].refused), (0, 6));
    MemoryBudget::unlimited().lease(Class::Tail, &tenant(0)).try_grow(1 << 40).unwrap();
}

#[test]
fn those_who_wait_get_it_in_order_and_tenants_do_not_wait_for_one_another() {
    let budget = MemoryBudget::new(16 * MIB, &[]);
    let mut context = Context::from_waker(Waker::noop());
    let [hog, a, b, c] = [0, 0, 0, 1].map(|n| budget.lease(Class::Ingest, &tenant(n)));
    hog.try_grow(11 * MIB).unwrap();
    let mut first = Box::pin(a.grow(4 * MIB));
    let mut second = Box::pin(b.grow(MIB));
    let mut others = Box::pin(c.grow(MIB));
    assert!(first.as_mut().poll(&mut context).is_pending());
    assert!(second.as_mut().poll(&mut context).is_pending(), "behind the first of the same tenant");
    assert_eq!(others.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    assert_eq!(budget.usage()[Class::Ingest.at()].waiting, 2);
    hog.shrink(5 * MIB);
    assert_eq!(first.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    assert_eq!(second.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    assert_eq!((a.bytes(), b.bytes()), (4 * MIB, MIB));
}

#[test]
fn small_growths_do_not_wait_for_large_ones_of_their_tenant() {
    let budget = MemoryBudget::new(16 * MIB, &[]);
    let mut context = Context::from_waker(Waker::noop());
    let [hog, a, b, c] = [0; 4].map(|n| budget.lease(Class::Ingest, &tenant(n)));
    hog.try_grow(10 * MIB).unwrap();
    let mut large = Box::pin(a.grow(4 * MIB));
    assert!(large.as_mut().poll(&mut context).is_pending());
    assert_eq!(Box::pin(b.grow(20 << 10)).as_mut().poll(&mut context), Poll::Ready(Ok(())), "it fits");
    // Where even a small one does not fit, it is the first when some comes back, and then comes the large one.
    while hog.try_grow(1 << 10).is_ok() {}
    let mut small = Box::pin(c.grow(64 << 10));
    assert!(small.as_mut().poll(&mut context).is_pending());
    hog.shrink(2 * MIB);
    assert_eq!(small.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    assert!(large.as_mut().poll(&mut context).is_pending());
    hog.shrink(5 * MIB);
    assert_eq!(large.as_mut().poll(&mut context), Poll::Ready(Ok(())));
}

#[test]
fn one_who_gives_up_leaves_nothing_behind_and_lets_others_pass() {
    let budget = MemoryBudget::new(16 * MIB, &[]);
    let mut context = Context::from_waker(Waker::noop());
    let [hog, a, b] = [0, 0, 0].map(|n| budget.lease(Class::Ingest, &tenant(n)));
    hog.try_grow(10 * MIB).unwrap();
    let mut first = Box::pin(a.grow(8 * MIB));
    assert!(first.as_mut().poll(&mut context).is_pending());
    let mut second = Box::pin(b.grow(MIB / 2));
    assert!(second.as_mut().poll(&mut context).is_pending());
    drop(first);
    assert_eq!(second.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    // Granted, but nobody fetches it.
    let c = budget.lease(Class::Ingest, &tenant(0));
    let mut granted = Box::pin(c.grow(8 * MIB));
    assert!(granted.as_mut().poll(&mut context).is_pending());
    hog.shrink(10 * MIB);
    assert!(used(&budget, Class::Ingest) >= 8 * MIB);
    drop((granted, second));
    drop((a, b, c, hog));
    assert_eq!(used(&budget, Class::Ingest), 0);
}

#[test]
fn a_lease_is_in_the_way_of_its_own_tenant_and_of_those_who_hold_less() {
    let budget = MemoryBudget::new(16 * MIB, &[]);
    let mut context = Context::from_waker(Waker::noop());
    let [hog, hogs_next, modest, new] = [0, 0, 1, 2].map(|n| budget.lease(Class::Ingest, &tenant(n)));
    hog.try_grow(10 * MIB).unwrap();
    modest.try_grow(MIB).unwrap();
    assert!(!hog.is_in_the_way() && !modest.is_in_the_way(), "nobody waits");
    // The hog waits for its own share.
    let mut waiting = Box::pin(hogs_next.grow(2 * MIB));
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    assert!(hog.is_in_the_way() && !modest.is_in_the_way());
    drop(waiting);
    let mut waiting = Box::pin(new.grow(6 * MIB));
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    assert!(hog.is_in_the_way() && modest.is_in_the_way(), "one that has nothing waits for both");
    assert!(!budget.lease(Class::Query, &tenant(2)).is_in_the_way(), "another class");
}

#[test]
fn a_growth_up_to_the_tenant_s_share_is_granted_though_its_lease_has_some_to_spare() {
    let budget = MemoryBudget::new(64 * MIB, &[]);
    let mut context = Context::from_waker(Waker::noop());
    let [own, other] = [0, 1].map(|n| budget.lease(Class::Query, &tenant(n)));
    own.try_grow(32 * MIB).unwrap();
    assert!(used(&budget, Class::Query) > 32 * MIB, "more is set aside than it asked for");
    other.try_grow(8 * MIB).unwrap();
    let mut growth = Box::pin(own.grow(16 * MIB));
    assert!(growth.as_mut().poll(&mut context).is_pending());
    // What it has set aside is its own all the same.
    own.shrink(1);
    own.try_grow(1).unwrap();
    drop(other);
    assert_eq!(growth.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    assert_eq!((own.bytes(), used(&budget, Class::Query)), (48 * MIB, 48 * MIB));
    drop(growth);
    drop(own);
    assert_eq!(used(&budget, Class::Query), 0);
}

#[test]
fn threads_that_wait_all_get_through_and_never_hold_too_much() {
    let budget = MemoryBudget::new(8 * MIB, &[]);
    let (held, worst) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (budget, held, worst) = (&budget, &held, &worst);
            scope.spawn(move || {
                for _ in 0..50 {
                    let lease = budget.lease(Class::ALL[n % 2], &tenant(n % 3));
                    // Alone they hold nothing while they wait, so each gets its turn.
                    lease.grow_blocking(2 * MIB, || false).unwrap();
                    worst.fetch_max(held.fetch_add(2 * MIB, Ordering::SeqCst) + 2 * MIB, Ordering::SeqCst);
                    std::thread::yield_now();
                    held.fetch_sub(2 * MIB, Ordering::SeqCst);
                }
            });
        }
    });
    assert!(worst.into_inner() <= 8 * MIB);
    assert!(budget.usage().iter().all(|usage| usage.used == 0 && usage.waiting == 0));
}

#[test]
fn threads_grow_one_lease_together() {
    let budget = MemoryBudget::new(64 * MIB, &[]);
    let lease = budget.lease(Class::Query, &tenant(0));
    let taken = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..20_000 {
                    if lease.try_grow(1000).is_ok() {
                        taken.fetch_add(1000, Ordering::Relaxed);
                    }
                    if n % 3 == 0
                        && taken
                            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |t| t.checked_sub(2000))
                            .is_ok()
                    {
                        lease.shrink(2000);
                    }
                }
            });
        }
    });
    assert_eq!(lease.bytes(), taken.into_inner());
    assert!(lease.bytes() <= used(&budget, Class::Query));
    drop(lease);
    assert_eq!(used(&budget, Class::Query), 0);
}

proptest! {
    /// Whatever happens: the total holds, a class is refused within its floor only for its tenant's share, a refusal is
    /// never without reason, and all comes back.
    #[test]
    fn the_bounds_hold_and_refusals_have_reasons(
        total in 0usize..400_000,
        floors in prop::collection::vec(0usize..200_000, 5),
        steps in prop::collection::vec((0usize..15, 0u8..4, 0usize..150_000), 1..200),
    ) {
        let floors: Vec<_> = Class::ALL.into_iter().zip(floors).collect();
        let budget = MemoryBudget::new(total, &floors);
        let make = |n: usize| budget.lease(Class::ALL[n % 5], &tenant(n / 5));
        let mut leases: Vec<Lease> = (0..15).map(make).collect();
        for (n, action, bytes) in steps {
            let before = budget.usage();
            let class = leases[n].class();
            match action {
                0 => leases[n].shrink(bytes),
                1 => leases[n] = make(n),
                _ => {
                    let held = leases[n].bytes();
                    if let Err(error) = leases[n].try_grow(bytes) {
                        prop_assert_eq!(leases[n].bytes(), held);
                        let mine = before[class.at()];
                        let others: usize =
                            before.iter().filter(|u| u.class != class).map(|u| u.used.max(u.floor)).sum();
                        let free = total - others - mine.used;
                        match error.bound {
                            Bound::Class => prop_assert!(bytes > free && mine.used + bytes > mine.floor),
                            Bound::Tenant => prop_assert!(mine.used + 4 * bytes > 3 * free),
                            Bound::Never => prop_assert!(held + bytes > budget.most(class)),
                            Bound::Waiters => prop_assert!(false, "nobody waits"),
                        }
                    }
                }
            }
            let usage = budget.usage();
            let all: usize = usage.iter().map(|u| u.used.max(u.floor)).sum();
            prop_assert!(all <= total, "{:?}", usage);
            for class in Class::ALL {
                let said: usize = leases.iter().filter(|l| l.class() == class).map(Lease::bytes).sum();
                prop_assert!(said <= usage[class.at()].used);
            }
        }
        drop(leases);
        prop_assert!(budget.usage().iter().all(|u| u.used == 0));
    }

    /// However many tenants take all they can get, the next one finds its part of the class.
    #[test]
    fn there_is_always_something_for_the_next_tenant(hogs in 1usize..12, piece in 1usize..40_000) {
        let budget = MemoryBudget::new(4 * MIB, &[]);
        let leases: Vec<Lease> = (0..hogs).map(|n| budget.lease(Class::Answer, &tenant(n))).collect();
        leases.iter().for_each(|lease| { fill(lease, piece); });
        let left = 4 * MIB - used(&budget, Class::Answer);
        // With k who take all they can, each in turn: at least a quarter of what the one before left.
        prop_assert!(left as f64 >= 4.0 * MIB as f64 * 0.25f64.powi(hogs as i32) - 1.0, "{}", left);
    }
}
