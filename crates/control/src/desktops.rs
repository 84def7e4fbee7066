//! Desktops: reading, tagging, retiring and unretiring.

use domain::{
    Error, Reason,
    authz::{ALL, Action, Resource},
    ids::{DesktopId, ProjectId},
    page::Page,
    tags::{TagChange, effective},
};
use store::{
    Connection,
    desktop::{self, DesktopFilter, DesktopOrder, DesktopRow, Retired},
    enrolment,
    notify::{self, Wake},
};

use crate::{Caller, Control, change::Begun, kept};

fn missing(desktop_id: &DesktopId) -> Error {
    Error::new(Reason::DesktopNotFound, format!("desktop {desktop_id} does not exist"))
}

/// Finds a desktop, retired or not.
async fn find(
    connection: &mut Connection,
    project_id: &ProjectId,
    desktop_id: &DesktopId,
) -> Result<DesktopRow, Error> {
    let filter = DesktopFilter {
        desktop_ids: vec![desktop_id.as_str().to_owned()],
        retired: Retired::Included,
        ..DesktopFilter::default()
    };
    let found = desktop::page(connection, project_id, &filter, 1).await?.pop();
    found.ok_or_else(|| missing(desktop_id))
}

/// Describes a change of tags for the audit.
fn describe(desktop_id: &DesktopId, change: &TagChange) -> String {
    let set = change.set.iter().map(|(name, value)| format!(" set:{name}={value}"));
    let removed = change.remove.iter().map(|name| format!(" remove:{name}"));
    kept(&format!("desktop:{desktop_id}{}", set.chain(removed).collect::<String>()))
}

impl Control {
    /// Lists one page of desktops, with the total number. `action` is the permission of the list
    /// that the caller requests.
    pub async fn list_desktops(
        &self,
        caller: &Caller,
        action: Action,
        filter: &DesktopFilter,
        order: DesktopOrder,
        page: Page,
    ) -> Result<(i64, Vec<DesktopRow>), Error> {
        caller.check(action, [Resource::Desktop(ALL)])?;
        self.list(caller.project_id(), async |connection| {
            Ok(desktop::list(connection, caller.project_id(), filter, order, page).await?)
        })
        .await
    }

    /// Lists at most `limit` desktops by id. The filter contains the start position.
    pub async fn page_desktops(
        &self,
        caller: &Caller,
        filter: &DesktopFilter,
        limit: i64,
    ) -> Result<Vec<DesktopRow>, Error> {
        caller.check(Action::ListDesktopsDetail, [Resource::Desktop(ALL)])?;
        self.list(caller.project_id(), async |connection| {
            Ok(desktop::page(connection, caller.project_id(), filter, limit).await?)
        })
        .await
    }

    /// Shows one desktop, retired or not.
    pub async fn show_desktop(&self, caller: &Caller, desktop_id: &DesktopId) -> Result<DesktopRow, Error> {
        caller.check(Action::ListDesktopsDetail, [Resource::Desktop(desktop_id.as_str())])?;
        self.desktop_after(caller, desktop_id).await
    }

    /// Returns a desktop that the caller just changed. The right to change includes the right to
    /// see the result.
    async fn desktop_after(&self, caller: &Caller, desktop_id: &DesktopId) -> Result<DesktopRow, Error> {
        find(&mut *self.store.acquire().await?, caller.project_id(), desktop_id).await
    }

    /// Sets and removes operator tags of a desktop. They take precedence over tags that its agent
    /// reports. Returns the updated desktop.
    pub async fn tag_desktop(
        &self,
        caller: &Caller,
        desktop_id: &DesktopId,
        change: &TagChange,
    ) -> Result<DesktopRow, Error> {
        caller.check(Action::TagDesktop, [Resource::Desktop(desktop_id.as_str())])?;
        change.check()?;
        let project_id = caller.project_id();
        let mut tx = match self.begin_change(caller).await? {
            Begun::New(tx) => tx,
            Begun::Repeated(_) => return self.desktop_after(caller, desktop_id).await,
        };
        let stored = desktop::lock_tags(&mut tx, project_id, desktop_id).await?;
        let stored = stored.ok_or_else(|| missing(desktop_id))?;
        let operators = change.apply(&stored.agents, &stored.operators)?;
        let tags = effective(&stored.agents, &operators);
        desktop::put_operator_tags(&mut tx, project_id, desktop_id, &operators, &tags).await?;
        let row = find(&mut tx, project_id, desktop_id).await?;
        self.done(tx, caller, Action::TagDesktop, &describe(desktop_id, change), "").await?;
        Ok(row)
    }

    /// Retires a desktop: it gets no new targets, its certificates are revoked, its connection
    /// ends, and its agent is refused. Targets that wait for it end as UNDELIVERED. Returns
    /// the updated desktop.
    pub async fn retire_desktop(&self, caller: &Caller, desktop_id: &DesktopId) -> Result<DesktopRow, Error> {
        caller.check(Action::RetireDesktop, [Resource::Desktop(desktop_id.as_str())])?;
        let (project_id, by, now) = (caller.project_id(), &caller.identity.principal, self.environment.now());
        let mut tx = match self.begin_change(caller).await? {
            Begun::New(tx) => tx,
            Begun::Repeated(_) => return self.desktop_after(caller, desktop_id).await,
        };
        // The lock order is that of a revocation alone: certificates first.
        enrolment::revoke_desktop(&mut tx, project_id, desktop_id, now).await?;
        if !desktop::retire(&mut tx, project_id, desktop_id, by, now).await? {
            return Err(missing(desktop_id));
        }
        notify::send(&mut tx, Wake::Presence).await?;
        let row = find(&mut tx, project_id, desktop_id).await?;
        self.done(tx, caller, Action::RetireDesktop, &format!("desktop:{desktop_id}"), "").await?;
        tracing::warn!(%project_id, %desktop_id, actor = by, "a desktop is retired");
        Ok(row)
    }

    /// Returns a retired desktop to service; a desktop in service stays unchanged. Its certificates
    /// stay revoked. Returns the updated desktop.
    pub async fn unretire_desktop(
        &self,
        caller: &Caller,
        desktop_id: &DesktopId,
    ) -> Result<DesktopRow, Error> {
        caller.check(Action::UnretireDesktop, [Resource::Desktop(desktop_id.as_str())])?;
        let (project_id, by) = (caller.project_id(), &caller.identity.principal);
        let mut tx = match self.begin_change(caller).await? {
            Begun::New(tx) => tx,
            Begun::Repeated(_) => return self.desktop_after(caller, desktop_id).await,
        };
        if !desktop::unretire(&mut tx, project_id, desktop_id).await? {
            return Err(missing(desktop_id));
        }
        let row = find(&mut tx, project_id, desktop_id).await?;
        self.done(tx, caller, Action::UnretireDesktop, &format!("desktop:{desktop_id}"), "").await?;
        tracing::warn!(%project_id, %desktop_id, actor = by, "a retired desktop is in service again");
        Ok(row)
    }
}
