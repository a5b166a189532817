module github.com/devora/sdk-go

go 1.23
