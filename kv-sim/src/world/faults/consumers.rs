//! F-S5 to F-S8: what befalls consumers, what they send, and the calls that make them.

use std::time::Duration;

use super::World;
use crate::fault::Reply;
use crate::server::{
    ApiCall, ApiRefusal, CountFault, DeliveryFault, FlowFault, HeartbeatFault, SeenConsumer,
};

impl World<'_> {
    pub(super) fn drop_consumers(&mut self, nth: Option<u8>) -> Option<()> {
        let doomed = match nth {
            Some(nth) => vec![self.nth_consumer(nth)?],
            None => self.cluster.consumer_list(),
        };
        for one in &doomed {
            self.cluster.drop_consumer(self.now, &one.stream, &one.name);
        }
        self.collect();
        (!doomed.is_empty()).then_some(())
    }

    pub(super) fn kill_host(&mut self, nth: u8, away: Duration) -> Option<()> {
        let host = self.nth_consumer(nth)?.host;
        self.restart(host.0, away, true)
    }

    /// One of those that are there.
    fn nth_consumer(&self, nth: u8) -> Option<SeenConsumer> {
        let mut all = self.cluster.consumer_list();
        let at = usize::from(nth).checked_rem(all.len())?;
        Some(all.swap_remove(at))
    }

    pub(super) fn disturb_call(&mut self, call: ApiCall, how: Reply, time: Duration) -> Option<()> {
        let fault = self.reply_fault(how, time);
        self.cluster.disturb_call(call, fault);
        Some(())
    }

    pub(super) fn refuse_call(
        &mut self,
        call: ApiCall,
        error: ApiRefusal,
        done: bool,
    ) -> Option<()> {
        self.cluster.refuse_call(call, error, done);
        Some(())
    }

    pub(super) fn disturb_heartbeat(&mut self, how: HeartbeatFault) -> Option<()> {
        self.cluster.disturb_heartbeat(self.now, how);
        Some(())
    }

    pub(super) fn beat(&mut self) -> Option<()> {
        let any = self.cluster.beat(self.now);
        self.collect();
        any.then_some(())
    }

    pub(super) fn disturb_flow(&mut self, how: FlowFault) -> Option<()> {
        self.cluster.disturb_flow(how);
        Some(())
    }

    pub(super) fn disturb_deliveries(&mut self, how: DeliveryFault, count: u8) -> Option<()> {
        for _ in 0..count {
            self.cluster.disturb_delivery(how);
        }
        (count > 0).then_some(())
    }

    pub(super) fn disturb_counts(&mut self, how: CountFault, count: u8) -> Option<()> {
        for _ in 0..count {
            self.cluster.disturb_count(how);
        }
        (count > 0).then_some(())
    }

    /// From now on the bucket begins anew behind the next such call.
    pub(super) fn recreate_behind(&mut self, call: ApiCall) -> Option<()> {
        self.cluster.ambush(call);
        Some(())
    }
}
