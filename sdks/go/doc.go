// Package devora calls the Devora API: it runs agents and workflows, waits for their jobs, follows their events and
// verifies webhooks. It needs the standard library only.
//
//	client := devora.NewClient("YOUR_API_KEY")
//	result, err := client.Agents.Execute(ctx, &devora.AgentExecuteRequest{
//		AgentID: "product_manager",
//		Input:   map[string]interface{}{"task_type": "prd", "context": "A delivery app"},
//	})
//
// # Retries and deadlines
//
// A call that fails in a way that may pass is tried again, twice by default: lost connections, 408, 429 and 5xx. The
// pause between attempts obeys Retry-After. Each POST carries one Idempotency-Key, the same on each attempt, so that a
// retry never does a thing twice. The deadline of a call is that of its context, or of [WithTimeout]; it covers all
// attempts together.
//
// # Errors
//
// Every error is an [*Error]. Ask for its kind with [errors.Is] ([ErrRateLimit], [ErrNotFound], [ErrJobFailed], …)
// and read its fields with [errors.As].
//
// # Unknown fields
//
// A newer server may send fields that this package does not know, or values of other types. They are kept in Extra.
// [Client.Do] makes calls that this package does not know.
package devora
