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
// Transient failures are retried, twice by default: lost connections, 408, 429, 500, 502, 503 and 504. The pause obeys
// Retry-After. All attempts of a POST carry the same Idempotency-Key, so that a retry has no second effect. The deadline
// of a call covers all its attempts. It is that of the context or of [WithTimeout], whichever ends
// first.
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
