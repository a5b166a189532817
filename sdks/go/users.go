package devora

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// UserService adds and removes users, for admins. See Client.Users.
type UserService struct{ client *Client }

// UserCreateRequest adds a user.
type UserCreateRequest struct {
	Username string   `json:"username"`
	Password string   `json:"password"`
	Roles    []string `json:"roles"` // "admin", "system_admin", "orchestration_manager"
}

// Create adds a user.
func (s *UserService) Create(ctx context.Context, request *UserCreateRequest, options ...Option) (*User, error) {
	return post[User](ctx, s.client, request, options, "users")
}

// List returns one page of users, by name. [UserService.All] iterates over all pages.
func (s *UserService) List(ctx context.Context, page *Page, options ...Option) (*UserList, error) {
	query := url.Values{}
	value(page).set(query)
	return get[UserList](ctx, s.client, query, options, "users")
}

// All iterates over all users and fetches pages as needed.
func (s *UserService) All(ctx context.Context, page *Page, options ...Option) iter.Seq2[*User, error] {
	return all(value(page), func(at Page) ([]User, position, error) {
		page, err := s.List(ctx, &at, options...)
		if err != nil {
			return nil, position{}, err
		}
		return page.Users, position{total: page.Total}, nil
	})
}

// Delete removes a user and revokes the user's tokens.
func (s *UserService) Delete(ctx context.Context, username string, options ...Option) error {
	return send(ctx, s.client, call{method: http.MethodDelete}, options, "users", username)
}

// User is a user, without the password.
type User struct {
	ID        string    `json:"id"`
	Username  string    `json:"username"`
	Roles     []string  `json:"roles"`
	CreatedAt time.Time `json:"created_at"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// UserList is one page of users.
type UserList struct {
	Users  []User `json:"users"`
	Total  int    `json:"total"`
	Limit  int    `json:"limit"`
	Offset int    `json:"offset"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}
