"""Where the pages are."""

from django.urls import path

from . import views

urlpatterns = [
    path("", views.home, name="home"),
    path("profile", views.profile, name="profile"),
    path("sign-in", views.sign_in, name="sign-in"),
    path("sign-out", views.sign_out, name="sign-out"),
    path("api/profile", views.api_profile),
    path("api/admin", views.api_admin),
    path("health", views.health),
]
